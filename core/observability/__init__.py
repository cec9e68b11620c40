"""What an operator can see: metrics, and a record of each call and each of its turns."""
