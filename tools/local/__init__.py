"""The local stack: what ``make start`` runs.

install.py       packages into .venv and the DynamoDB engine, from a bare Python
stack.py         starts everything in order, and stops it
docker.py        the plain ``sam local start-api``, for those who have Docker
processes.py     child processes that never outlive the stack
nosync.py        runs the DynamoDB engine without waiting for the disk
engines.py       DynamoDB, S3 and SQS on this machine
template.py      template.yaml as the stack needs it: functions, tables, buckets, queues
resources.py     creates what the template declares in the engines
environments.py  execution environments: AWS's runtime interface emulator around each function
proxy_event.py   one HTTP request as API Gateway's payload 2.0
gateway.py       SAM CLI's own gateway in front of the environments
invocations.py   the Invoke call of the Lambda API, for functions that start functions
poller.py        SQS event source mappings
key.py           the parameters and the key of every local stack
demo.py          the demo program
"""
