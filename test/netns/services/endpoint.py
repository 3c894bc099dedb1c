# An endpoint: answers every datagram and every TCP connection on a port with its own name and the address it was asked from.
# argv: NAME PORT.
import socket, sys, threading

name, port = sys.argv[1], int(sys.argv[2])


def bound(kind):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    return s


def udp(s):
    while True:
        data, client = s.recvfrom(2048)
        s.sendto(f"{name} {client[0]}".encode(), client)


def tcp(s):
    while True:
        c, client = s.accept()
        c.sendall(f"{name} {client[0]}".encode())
        c.close()


d, t = bound(socket.SOCK_DGRAM), bound(socket.SOCK_STREAM)
t.listen(64)  # who is told "ready" may connect at once
threading.Thread(target=udp, args=(d,), daemon=True).start()
print("ready", flush=True)
tcp(t)
