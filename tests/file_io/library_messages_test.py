"""Tests of `file_io/library_messages.py`, each in a fresh process."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

from tests.helpers import training_runs

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# As TensorFlow 2.21 writes them on a machine without GPU.
KNOWN = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795690857.966179   20017 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.
I0000 00:00:1795690857.100000   20017 port.cc:153] oneDNN custom operations are on. You may see slightly different numerical results.
I0000 00:00:1795690858.113695   20017 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use available CPU instructions in performance-critical operations.
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the appropriate compiler flags.
E0000 00:00:1795690963.163764   22797 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)
E0000 00:00:1795841321.148926    5341 util.cc:131] oneDNN supports DT_UINT8 only on platforms with AVX-512. Falling back to the default Eigen-based implementation if present.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
fully_quantize: 0, inference_type: 6, input_inference_type: FLOAT32, output_inference_type: FLOAT32
W1126 11:39:28.919219 139884379790208 lite.py:1185] Buffer deduplication procedure will be skipped when flatbuffer library is not properly loaded
"""  # noqa: E501

# To be shown: a broken driver, a warning, an error, and what names a known one.
OTHERS = """\
E0000 00:00:1795690963.163764   22797 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (999)
E0000 00:00:1795841321.148926    5341 util.cc:99] oneDNN found no memory.
W0000 00:00:1795690852.687139    6030 driver.cc:9] The driver is old.
F0000 00:00:1795690852.687139    6030 guard.cc:9] This library needs AVX.
I say: To enable the following instructions: read on.
"""  # noqa: E501

# In the place of TensorFlow: writes to file descriptor 2 as a C++ library does.
LIBRARY = """
import os
import types

def write(text):
  if text:
    os.write(2, text.encode())

write({text!r})
config = types.SimpleNamespace(list_physical_devices=lambda: write({late!r}))
{end}
"""


def _run(program, tmp_path, *, text="", late="", end="", **environment):
  """Runs a program where `import tensorflow` writes `text`, and so on."""
  path = tmp_path / "tensorflow.py"
  path.write_text(LIBRARY.format(text=text, late=late, end=end))
  inherited = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
  return subprocess.run(
      [sys.executable, "-c", program],
      capture_output=True,
      check=False,
      cwd=ROOT,
      env=inherited | {"PYTHONPATH": f"{ROOT}:{tmp_path}"} | environment,
      text=True,
  )


@pytest.mark.parametrize("package", ["benchmarks", "export", "trainers"])
def test_programs_show_all_but_known_messages(tmp_path, package):
  done = _run(
      f"import {package}, tensorflow",
      tmp_path,
      text=KNOWN + OTHERS + KNOWN,
      late=KNOWN + "Late.\n",
  )
  assert done.stderr == OTHERS + "Late.\n"
  assert done.returncode == 0


def test_each_known_message_is_one_of_its_own(tmp_path):
  for line in KNOWN.splitlines(keepends=True):
    assert not _run("import export, tensorflow", tmp_path, text=line).stderr


def test_without_the_programs_all_is_shown(tmp_path):
  assert _run("import tensorflow", tmp_path, text=KNOWN).stderr == KNOWN


def test_what_is_written_after_the_import_is_not_looked_at(tmp_path):
  program = f"import os, export, tensorflow; os.write(2, {KNOWN!r}.encode())"
  assert _run(program, tmp_path, text=KNOWN).stderr == KNOWN


def test_crash_in_the_import_is_shown(tmp_path):
  end = "os.write(2, b'Check failed'); os.abort()"
  done = _run("import export, tensorflow", tmp_path, text=KNOWN, end=end)
  assert done.stderr.startswith("Check failed")
  assert done.returncode < 0


def test_failing_import_is_shown(tmp_path):
  end = "raise ImportError('libtensorflow is broken')"
  done = _run("import export, tensorflow", tmp_path, text=KNOWN, end=end)
  assert done.stderr.startswith("Traceback (most recent call last):\n")
  assert done.stderr.endswith("ImportError: libtensorflow is broken\n")
  assert done.returncode == 1


def test_import_that_failed_is_filtered_again(tmp_path):
  program = """
import export, os, trainers
for package in range(2):
  try:
    import tensorflow
  except ImportError:
    os.write(2, b"once\\n")
"""
  end = "raise ImportError"
  done = _run(program, tmp_path, text="seen\n", end=end)
  assert done.stderr == "seen\nonce\n" * 2


def test_missing_library_is_a_plain_error(tmp_path):
  program = "import sys, export; sys.path = []; import tensorflow"
  done = _run(program, tmp_path)
  assert "No module named 'tensorflow'" in done.stderr


@pytest.mark.parametrize("level", ["0", "1", None])
def test_level_of_the_environment_counts(tmp_path, level):
  program = "import os, export, tensorflow; print(os.environ[{!r}])"
  done = _run(
      program.format("TF_CPP_MIN_LOG_LEVEL"),
      tmp_path,
      text=KNOWN,
      **({} if level is None else {"TF_CPP_MIN_LOG_LEVEL": level}),
  )
  assert done.stdout == f"{level or 2}\n"
  assert done.stderr == (KNOWN if level == "0" else "")


def test_closed_standard_error_is_no_error(tmp_path):
  program = """
import os, subprocess, sys
os.close(2)
sys.exit(subprocess.call([sys.executable, "-c", "import export, tensorflow"]))
"""
  assert _run(program, tmp_path).returncode == 0


def test_loader_stays_what_others_expect(tmp_path):
  program = "import export, tensorflow; print(type(tensorflow.__loader__))"
  done = _run(program, tmp_path)
  assert "SourceFileLoader" in done.stdout, done.stderr


def _python(*arguments, **environment):
  inherited = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
  return subprocess.run(
      [sys.executable, *arguments],
      capture_output=True,
      check=False,
      cwd=ROOT,
      env=inherited | environment,
      text=True,
  )


@pytest.mark.slow
def test_help_is_all_that_a_program_says():
  done = _python("-m", "trainers.train", "--help")
  assert "--preset" in done.stdout
  assert not done.stderr


def test_training_says_nothing_else(data_dir, tmp_path):
  done = _python(
      *["-m", "trainers.train", *training_runs.TINY, "--epochs=1"],
      *[f"--data_dir={data_dir}", f"--workdir={tmp_path}"],
      # It is off on some processors, which then have less to say.
      TF_ENABLE_ONEDNN_OPTS="1",
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.endswith(f"Wrote {tmp_path / 'model.keras'}.\n")
  assert not done.stderr


# What TensorFlow calls where its processor lacks a data type, on any processor.
UNSUPPORTED = """
import ctypes
function = "_ZN10tensorflow26DataTypeUnsupportedWarningERKNS_8DataTypeE"
ctypes.CDLL({library!r})[function](ctypes.byref(ctypes.c_int(1)))
"""


def test_library_says_once_a_process_what_onednn_lacks():
  package = pathlib.Path(importlib.util.find_spec("tensorflow").origin).parent
  library = str(package / "libtensorflow_framework.so.2")
  done = _python("-c", UNSUPPORTED.format(library=library) * 2)
  assert done.returncode == 0, done.stderr
  assert done.stderr.count("oneDNN supports DT_FLOAT only on platforms") == 1


@pytest.mark.slow
def test_errors_are_shown_once_tensorflow_has_started():
  program = f"""
import trainers
import tensorflow as tf
{UNSUPPORTED.format(library=None)}
ctypes.CDLL(None).perror(b"planted in C")
# Refused once there are devices, which are the program's to set up.
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.io.decode_png(b"planted in TensorFlow")
"""
  done = _python("-c", program)
  assert done.stderr.startswith("planted in C: ")
  assert "Traceback (most recent call last):" in done.stderr
  assert "InvalidArgumentError" in done.stderr.splitlines()[-1]
