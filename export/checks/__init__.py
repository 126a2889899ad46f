"""What is exported is compared with Keras before it is published."""
