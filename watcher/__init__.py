"""Files DICOM dropped on a share into an archive that XNAT's tools can read.

cli, commands   what a person types; one command, one file
daemon          builds every part from Settings; one task group, signals, drain
settings, log   the TOML file; the JSON lines
stages          what happens next: intake, rebuild, archive
report          what people see
dicom           what the bytes say: structure, header, session XML, catalogs
io              what touches the machine: one device each
core            what is true: settling, identity, names, life, validation, merging
"""

__version__ = "0.7.0"
