"""Language models, and the code that is generated around what they say."""
