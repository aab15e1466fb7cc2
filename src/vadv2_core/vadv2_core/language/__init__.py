"""The language of the stack: statements, the sentences that say them, and the parser that reads them back."""
