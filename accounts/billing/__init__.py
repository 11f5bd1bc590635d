"""What makes a card a credit card: cycles, interest, minimum payments, fees, delinquency."""
