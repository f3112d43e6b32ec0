"""Console output and exit codes. All output passes through `printable`, so that no name or text
from outside sends control characters to a terminal."""

from multigen.console.exits import STOPPING, Stopped, exit_code, report_error, show_traceback, stoppable
from multigen.console.messages import if_slow, note, quiet, say, say_once, show, show_text, sinks
from multigen.console.progress import Progress
from multigen.console.tables import markdown, text_table
from multigen.console.words import counted, did_you_mean, printable, resume_option, shell_word, shortened

__all__ = [
    "STOPPING",
    "Progress",
    "Stopped",
    "counted",
    "did_you_mean",
    "exit_code",
    "if_slow",
    "markdown",
    "note",
    "printable",
    "quiet",
    "report_error",
    "resume_option",
    "say",
    "say_once",
    "shell_word",
    "shortened",
    "show",
    "show_text",
    "show_traceback",
    "sinks",
    "stoppable",
    "text_table",
]
