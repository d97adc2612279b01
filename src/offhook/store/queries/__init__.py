"""What is read and written of each noun, one module a noun."""
