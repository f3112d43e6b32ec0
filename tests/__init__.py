"""The tests, as a package: torch-fidelity installs one of this name, which would hide a folder without this file."""
