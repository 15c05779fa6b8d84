"""What is made of a finished study: the effects of its choices, and exports of its networks."""
