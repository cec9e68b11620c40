"""Who answers which number: agents as the file configures them, built, and changed without a restart."""
