"""What a trained model does past its training length, and what it retrieves from its context."""
