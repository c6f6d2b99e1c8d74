"""Memory as page tables map it: paging modes, address spaces, walks of one address and of arrays."""
