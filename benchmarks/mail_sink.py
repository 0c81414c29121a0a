"""A fast mail server that accepts and discards all messages. It prints its port and runs until it is killed."""

import socket
import threading

RESPONSES = {b"EHLO": b"250 sink", b"DATA": b"354 go on", b"QUIT": b"221 bye"}


def serve_client(client: socket.socket) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, client.makefile("rwb") as stream:

        def say(answer: bytes) -> None:
            stream.write(answer + b"\r\n")
            stream.flush()

        say(b"220 sink")
        for line in stream:
            word = line[:4].upper()
            say(RESPONSES.get(word, b"250 OK"))
            if word == b"QUIT":
                return
            if word == b"DATA":
                while stream.readline() not in (b".\r\n", b""):
                    continue
                say(b"250 OK")


def main() -> None:
    """Listen on a free port of the loopback interface."""
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
    while True:
        client, _ = server.accept()
        threading.Thread(target=serve_client, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main()
