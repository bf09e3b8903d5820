"""What each function may do, as expected, and which permission each AWS operation takes."""

from __future__ import annotations

READ = frozenset({"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"})
READ_ARTIFACTS = frozenset({"s3:GetObject", "s3:ListBucket"})
LOG = frozenset({"logs:CreateLogStream", "logs:PutLogEvents"})
ADD_EVENTS = frozenset({"dynamodb:PartiQLInsert", "dynamodb:UpdateItem"})
CONSUME = frozenset(
    {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"}
)
MANAGE = (
    READ
    | READ_ARTIFACTS
    | LOG
    | {"dynamodb:Scan", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"}
    | {"dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}
    | {"s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:ListBucketVersions"}
    # A segment of any size is written as a file in pieces.
    | {"s3:AbortMultipartUpload"}
    | {"lambda:InvokeFunction", "ssm:GetParameter"}
)

ALLOWED = {
    "actions": READ | READ_ARTIFACTS | LOG,
    "recommendations": READ | READ_ARTIFACTS | LOG | {"ssm:GetParameter"},
    # A session's anonymous events are moved to its user: added there, and removed where they were.
    "collect": READ
    | READ_ARTIFACTS
    | LOG
    | ADD_EVENTS
    | {"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "sqs:SendMessage", "ssm:GetParameter"},
    # Both of the following tell the queue of failed invocations what failed for good.
    # Users who are deleted while their queued events are stored: these are removed again.
    # Files of the inbox are read, reported on, and moved where they cannot be read.
    "ingest": READ
    | READ_ARTIFACTS
    | LOG
    | ADD_EVENTS
    | CONSUME
    | {"dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "sqs:SendMessage", "s3:PutObject", "s3:DeleteObject"},
    "rebase": READ
    | READ_ARTIFACTS
    | LOG
    # Imports add events, and replace what earlier ones brought.
    | ADD_EVENTS
    | {"dynamodb:Scan", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"}
    | {"dynamodb:DeleteItem"}
    | {"s3:PutObject", "sqs:SendMessage"}
    # Earlier segments.
    | {"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:ListBucketVersions"}
    # A run of the schedule starts one invocation a program.
    | {"lambda:InvokeFunction"},
    "decisions": LOG | {"s3:PutObject", "sqs:SendMessage"},
    "manage": MANAGE,
    # What people do in a browser is what the API does.
    "console": MANAGE
    | {"cloudwatch:GetMetricData"}
    # Dead letters: looked at, and sent again.
    | {"sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility"}
    | {"sqs:DeleteMessage", "sqs:SendMessage"},
}

SPARK_JOB = (
    READ
    | READ_ARTIFACTS
    | LOG
    # What a rebase does; and imports that were cut short are finished by it.
    | ADD_EVENTS
    | {"dynamodb:PutItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "s3:PutObject"}
    # It reads the log from an export, which DynamoDB writes for it, and which it removes.
    | {"dynamodb:ExportTableToPointInTime", "dynamodb:DescribeExport", "s3:PutObjectAcl", "s3:AbortMultipartUpload"}
    | {"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:ListBucketVersions"}
    # What waited for its end is started.
    | {"lambda:InvokeFunction"}
    # EMR Serverless writes its log.
    | {"logs:DescribeLogStreams", "logs:DescribeLogGroups"}
)
"""What a Spark job may do, where there are any."""

START_SPARK_JOBS = frozenset(
    {"emr-serverless:StartJobRun", "emr-serverless:GetJobRun", "emr-serverless:CancelJobRun", "iam:PassRole"}
)
"""What the function ``rebase`` may do with them."""

# Operations whose permissions have other names; all others are called as they are.
PERMISSIONS_OF_OPERATIONS = {
    "BatchExecuteStatement": {"dynamodb:PartiQLInsert"},  # the store sends nothing but INSERT
    # A transaction needs those of its parts.
    "TransactWriteItems": {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"},
    "DescribeTable": set[str](),  # of engines on this machine alone, whose scans are divided by it
    "DeleteObject": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "HeadObject": {"s3:GetObject"},
    "GeneratePresignedUrl": {"s3:GetObject"},  # of a file, to read it
    **{name: {"s3:PutObject"} for name in ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")},
    "AbortMultipartUpload": {"s3:AbortMultipartUpload"},
    "CopyObject": {"s3:GetObject", "s3:PutObject"},
    "ListObjectVersions": {"s3:ListBucketVersions"},
    "ListObjectsV2": {"s3:ListBucket"},
    "Invoke": {"lambda:InvokeFunction"},
}
SERVICES_OF_OPERATIONS = {
    **dict.fromkeys(("StartJobRun", "GetJobRun", "CancelJobRun"), "emr-serverless"),
    **{"GetObject": "s3", "PutObject": "s3", "GetParameter": "ssm", "GetMetricData": "cloudwatch"},
    **dict.fromkeys(
        (*("SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes"),),
        "sqs",
    ),
}


def permissions_of(operation: str) -> set[str]:
    """The permissions that one operation of an AWS service takes."""
    service = SERVICES_OF_OPERATIONS.get(operation, "dynamodb")
    return PERMISSIONS_OF_OPERATIONS.get(operation, {f"{service}:{operation}"})
