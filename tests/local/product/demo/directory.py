"""Stands in for the demo's directory: accepts connections."""

import argparse
import socket

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--data")
arguments = parser.parse_args()
with socket.create_server(("127.0.0.1", arguments.port)) as server:
    while True:
        server.accept()[0].close()
