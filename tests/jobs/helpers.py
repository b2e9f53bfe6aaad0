"""What tests of jobs say alike."""

#: A small cluster that is in nobody's way.
QUIET = ("--dashboard-address", "127.0.0.1:0", "--threads", 1)


def refused(done, *words, code=2):
    """Assert one clear line on standard error, the exit code, and nothing on standard output."""
    assert done.exit_code == code, done.output
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("mfdask: ")
    assert "Traceback" not in done.output
    for word in words:
        assert word in line
    assert not done.stdout
