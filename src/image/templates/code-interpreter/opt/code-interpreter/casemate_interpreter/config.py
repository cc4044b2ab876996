"""The Python kernel's configuration, read by IPython at its start."""
import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
c = get_config()  # noqa: F821
c.IPKernelApp.extensions = ["casemate_interpreter.kernel"]
# A history in a file is two threads and a write for each line that is run.
c.HistoryManager.enabled = False
c.InteractiveShell.banner1 = ""
