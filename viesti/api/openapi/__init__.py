"""The API described by itself: the OpenAPI 3.1 document and the page that shows it.

``document.py`` puts the parts together, one module per resource; ``viesti/api/reference.py``
serves the result. Tests hold it equal to the routes and a superset of the published contract.
"""
