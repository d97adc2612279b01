"""What the API shows and reads, in the form that travels: made of the domain's values, and told to nobody inside."""
