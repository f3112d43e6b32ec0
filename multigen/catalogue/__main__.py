"""`python -m multigen.catalogue --write`: writes the files that follow from the catalogue."""

from multigen.catalogue.derived import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
