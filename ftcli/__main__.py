"""`python -m ftcli` is `ft`."""

from ftcli.app import main

if __name__ == "__main__":
    main()
