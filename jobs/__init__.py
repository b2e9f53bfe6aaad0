"""Click commands, one a file: parse options, call `mfdask`, print."""
