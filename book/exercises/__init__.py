"""What the exercises share; their checks are in one module a chapter."""


def keep(yours, books, check):
    """The reader's function if its check says "correct", else the book's.

    Args:
        yours: What the reader wrote in the cell with the blank.
        books: The book's version of the same function.
        check: Takes a function and says "correct", or what is wrong with it.
    """
    books.from_book = True
    right = not getattr(yours, "from_book", False)  # else this cell ran before
    try:
        right = right and check(yours) == "correct"
    except Exception:  # the cell of the check shows it; the page goes on
        right = False
    whose = "your" if right else "the book's"
    print(f"The cells below use {whose} {books.__name__}.")
    return yours if right else books
