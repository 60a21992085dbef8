"""The words of OCPI: versions, modules, headers, status codes, paging, patches and objects. Pure; no I/O."""
