"""What traces a library from outside: the kit that `mlflow_trace.openai` and its like are made of.

    patch     replaces attributes of a library and puts them back, before or after its import
    calls     wraps a function: plain, asynchronous, streaming, or one that gives a manager
    runs      spans of a framework that announces start and end by id
    wire      one hook on the HTTP client, for every library that is built on it
    registry  `Integration`: what one library needs, switched on and off as one

`docs/integrations.md` says how to add one.
"""
