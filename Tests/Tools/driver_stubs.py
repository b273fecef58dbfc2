# SPDX-License-Identifier: MIT
"""Finds the gRPC stubs of the driver protocol, or makes them for this process."""
import importlib
import os
import sys
import tempfile

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROTO = "altnet/driver/v1/driver.proto"


def generate(directory: str) -> None:
    """Makes the stubs; costs a third of a second."""
    from grpc_tools import protoc

    outputs = [f"--python_out={directory}", f"--grpc_python_out={directory}"]
    if protoc.main(["protoc", f"-I{REPOSITORY}/Protos", *outputs, PROTO]) != 0:
        sys.exit("protoc could not make the stubs of the driver protocol")


def load() -> tuple:
    """The modules of the messages and of the service, and gRPC itself.

    Takes the stubs from the directory that ALTNET_TEST_PROTO_STUBS names. altnetd refuses variables that begin with
    ALTNET_ and are no keys, except ALTNET_TEST_.
    """
    directory = os.environ.get("ALTNET_TEST_PROTO_STUBS")
    if directory:
        sys.path.insert(0, directory)
        return _import()
    with tempfile.TemporaryDirectory(prefix="altnet-stubs-") as made:
        generate(made)
        sys.path.insert(0, made)
        return _import()


def _import() -> tuple:
    return (
        importlib.import_module("altnet.driver.v1.driver_pb2"),
        importlib.import_module("altnet.driver.v1.driver_pb2_grpc"),
        importlib.import_module("grpc"),
    )


if __name__ == "__main__":
    # `driver_stubs.py DIRECTORY` makes them once for many drivers.
    os.makedirs(sys.argv[1], exist_ok=True)
    generate(sys.argv[1])
