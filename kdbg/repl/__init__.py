"""Ways in for people and pipes: the prompt at a terminal (prompt-toolkit, rich), and `batch` without one."""
