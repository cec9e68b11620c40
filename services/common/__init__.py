"""What any process of this project needs; it knows no call and no audio."""
