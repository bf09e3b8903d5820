"""The local stack: what ``make start`` runs.

install.py       packages into .venv and the DynamoDB engine, from a bare Python
stack.py         starts everything in order, and stops it
docker_stack.py  the same on the plain ``sam local start-api``, for those who have Docker
docker.py        whether Docker runs, where containers find this machine, and which are ours
build.py         ``sam build``, once for each state of the sources
invoke.py        ``sam local invoke`` on the engines of a stack that runs
samples.py       the events of ``events/``: signed when they are used, and the data that they speak of
processes.py     child processes that never outlive the stack
nosync.py        runs the DynamoDB engine without waiting for the disk
private_network.py, hosts.py, doors.py  what keeps others out
state.py         the folder that keeps what is stored
engines.py       DynamoDB, S3 and SQS on this machine
template.py      template.yaml as the stack needs it: functions, tables, buckets, queues
resources.py     creates what the template declares in the engines
environments.py  execution environments: AWS's runtime interface emulator around each function
proxy_event.py   one HTTP request as API Gateway's payload 2.0
gateway.py       SAM CLI's own gateway in front of the environments
invocations.py   the Invoke call of the Lambda API, for functions that start functions
poller.py        SQS event source mappings
inbox.py         rules for new objects of a bucket
log_subscriptions.py  subscriptions to logs
table_exports.py exports of a table to S3, which the DynamoDB engine has not
job_runs.py      EMR Serverless: job runs as processes of local Spark
key.py           the parameters and the key of every local stack
demo.py          the demo program
"""
