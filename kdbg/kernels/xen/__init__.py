"""What a paravirtual guest keeps for Xen, whichever kernel it runs."""
