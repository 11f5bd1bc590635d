"""Everything an installation needs on one machine, as supervised child processes.

`supervisor.Devstack` is the way in: it starts PostgreSQL, the two Valkeys, the services and Envoy,
keeps them running, and stops them with itself. `holdfast up`, the demo, the tests and the load test
use the same class.
"""
