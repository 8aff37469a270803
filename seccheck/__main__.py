"""`python -m seccheck`."""

from seccheck.cli import main

if __name__ == "__main__":
    main()
