"""`python -m multigen`: the same as the `multigen` command."""

from multigen.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
