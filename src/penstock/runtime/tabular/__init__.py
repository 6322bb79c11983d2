"""What models of rows and columns share: their features as inputs, their scores as outputs."""
