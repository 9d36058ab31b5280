"""What happens next: one short loop each; the rules live in core."""
