"""A small platform: plays Airbyte's part towards the command line, in three dialects, and holds it to the contract.

story       a scenario: what the source says and what must be stored, in nobody's dialect
dialects    the same sync as each sender would put it on the wire            (pure)
contract    what every run has to keep, whatever it was about                (pure)
content     points as records                                                (pure)
freshness   which versions of a record may be there after a kill             (pure)
platform    runs the connector: feeds it, listens, kills it
kills       kills at random points, and what must hold then
"""
