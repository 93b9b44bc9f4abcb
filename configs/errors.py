"""What a person can mend: said in one sentence, with a non-zero exit, instead of a traceback."""


class InputError(ValueError):
    """Wrong input: the message says what came, what was expected and what to do next."""
