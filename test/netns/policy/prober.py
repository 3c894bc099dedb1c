# Many probes at once from and to many network namespaces, by one process: sockets stay in the namespace that they were opened in.
# Lines of JSON in, one line out for each. TCP: a connection that is made. UDP, SCTP: a first packet that arrives (SCTP by raw sockets,
# the kernel need not know it). Nobody answers a datagram, so each one is the first of its connection to conntrack, too.
#   {"op":"open","ends":{NAME:PATH},"tcp":[PORT],"udp":[PORT]}
#   {"op":"probe","flows":[[FROM,ADDRESS,TO,PROTOCOL,PORT]],"quietMs":N,"octets":N,"expected":[true|false],"waitMs":N}
#     -> {"passed":[true|false]}; so long are datagrams; what is expected to pass is waited for so long
#   {"op":"connect","id":ID,"flow":[FROM,ADDRESS,TO,PROTOCOL,PORT],"port":N,"waitMs":N} -> {"from":ADDRESS|null}: a connection that stays,
#     TCP or UDP, from a port or any (0); the client's address as the server sees it, null if none was made
#   {"op":"move","id":ID,"to":NAME,"port":N} -> {}: the server's end of a UDP connection is the listener of another end from now on
#   {"op":"exchange","ids":[ID],"first":"client"|"server","waitMs":N} -> {"alive":[true|false]}: a word and its answer on each
import ctypes, json, os, resource, select, socket, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SCTP = 132
TABLE = []
for number in range(256):
    value = number
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    TABLE.append(value)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


# RFC 4960 section 3.3.2: INIT with a tag that says which probe it is.
def init(source, destination, tag):
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, tag, 65536, 1, 1, tag)
    head = struct.pack("!HHII", source, destination, 0, 0)
    return head[:8] + struct.pack("<I", crc32c(head + chunk)) + chunk


def enter(path):
    fd = os.open(path, os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), path)
    os.close(fd)


poll = select.epoll()
readers = {}
ends = {}
senders = {}
listeners = {}
newcomers = None  # connections accepted while one is being made; else they are closed
kept = {}
heard = {}
serial = int(time.time()) % 20000 * 50000


def watch(sock, what):
    sock.setblocking(False)
    readers[sock.fileno()] = (sock, what)
    poll.register(sock, select.EPOLLIN)


def dual(kind, port):
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", port))
    return sock


def open_ends(request):
    for name, path in request["ends"].items():
        ends[name] = path
        enter(path)
        for port in request["tcp"]:
            sock = dual(socket.SOCK_STREAM, port)
            sock.listen(1024)
            watch(sock, "accept")
        for port in request["udp"]:
            listeners[name, port] = dual(socket.SOCK_DGRAM, port)
            watch(listeners[name, port], "datagram")
        for family in (socket.AF_INET, socket.AF_INET6):
            watch(socket.socket(family, socket.SOCK_RAW, SCTP), "sctp4" if family == socket.AF_INET else "sctp6")
    return {}


# This process may be kept waiting for longer than any window: a window is over only when it has also looked so often in vain.
QUIET_LOOKS = 5  # of 20 ms
EXCHANGE_LOOKS = 100  # of 3 ms


# New ones for each round: a connection that policy cut stays cut until it has been judged again.
def open_senders(name):
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol, kind in ((17, socket.SOCK_DGRAM), (SCTP, socket.SOCK_RAW)):
            sender = socket.socket(family, kind, protocol if kind == socket.SOCK_RAW else 0)
            sender.setblocking(False)
            former = senders.get((name, family, protocol))
            if former is not None:
                former.close()
            senders[name, family, protocol] = sender


def send(flow, tag, connecting, octets):
    source, address, _, protocol, port = flow
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if protocol == "TCP":
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.connect_ex((address, port))
        connecting[sock.fileno()] = (sock, tag)
        poll.register(sock, select.EPOLLOUT)
    elif protocol == "UDP":
        senders[source, family, 17].sendto(struct.pack("!I", tag).ljust(octets, b"\0"), (address, port))
    else:
        packet = init(20000 + tag % 40000, port, tag)
        senders[source, family, SCTP].sendto(packet, (address, 0))


def receive(sock, what, seen):
    while True:
        try:
            if what == "accept":
                accepted, _ = sock.accept()
                if newcomers is None:
                    accepted.close()
                else:
                    accepted.setblocking(False)
                    newcomers.append(accepted)
                continue
            data = sock.recv(2048)
        except BlockingIOError:
            return
        except OSError:
            continue
        if what == "datagram" and data[4:].strip(b"\0") == b"":
            seen.add(int.from_bytes(data[:4], "big"))
        elif what != "datagram":
            body = data[(data[0] & 15) * 4 :] if what == "sctp4" else data
            if len(body) >= 20:
                seen.add(struct.unpack("!I", body[16:20])[0])


def turn(seconds, connecting, seen):
    events = poll.poll(seconds, 4096)
    for fd, event in events:
        if fd in connecting:
            sock, tag = connecting.pop(fd)
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and not event & (select.EPOLLERR | select.EPOLLHUP):
                seen.add(tag)
            poll.unregister(fd)
            sock.close()
        elif fd in readers:
            receive(*readers[fd], seen)
    return len(events) > 0


def probe(request):
    global serial
    flows = request["flows"]
    seen, connecting = set(), {}
    order = sorted(range(len(flows)), key=lambda at: flows[at][0])
    first, serial = serial, serial + len(flows)
    current = None
    for count, at in enumerate(order):
        if flows[at][0] != current:
            current = flows[at][0]
            enter(ends[current])
            open_senders(current)
        for _ in range(20):
            try:
                send(flows[at], first + at, connecting, request["octets"])
                break
            except BlockingIOError:
                turn(0.01, connecting, seen)
            except OSError:
                break  # said no at once: it did not pass
        if count % 64 == 63:
            turn(0, connecting, seen)
    quiet = request["quietMs"] / 1000
    until = time.monotonic() + request["waitMs"] / 1000
    wanted = {first + at for at, passes in enumerate(request["expected"]) if passes}
    last = began = time.monotonic()
    looks = 0
    while looks < QUIET_LOOKS or last - began < quiet or (not wanted <= seen and last < until):
        if turn(0.02, connecting, seen):
            began, looks = time.monotonic(), 0
        else:
            looks += 1
        last = time.monotonic()
    for sock, _ in connecting.values():
        poll.unregister(sock)
        sock.close()
    return {"passed": [first + at in seen for at in range(len(flows))]}


def plain(peer):
    return peer[0].removeprefix("::ffff:")


# The first word tells the server which client this is, and where: on the way ports and addresses may be translated.
def connect(request):
    global serial
    serial += 1
    source, address, target, protocol, port = request["flow"]
    seconds = request["waitMs"] / 1000
    enter(ends[source])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.socket(family, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if request["id"] in kept:
        kept[request["id"]]["client"].close()
    client.bind(("", request["port"]))
    client.setblocking(False)
    client.connect_ex((address, port))
    connection = {"client": client, "server": None, "udp": protocol == "UDP"}
    kept[request["id"]] = connection
    hello = b"hello %d from %s" % (serial, source.encode())
    peer = meet_datagram(connection, hello, seconds, target) if protocol == "UDP" else meet_stream(connection, hello, seconds)
    if peer is not None and not exchange({"ids": [request["id"]], "first": "server", "waitMs": request["waitMs"]})["alive"][0]:
        peer = None
    return {"from": None if peer is None else plain(peer)}


# A datagram that is lost, as no segment is, is said again.
def meet_datagram(connection, hello, seconds, target):
    began, said, looks = time.monotonic(), 0, 0
    while time.monotonic() < began + seconds or looks < EXCHANGE_LOOKS:
        looks += 1
        if time.monotonic() >= began + said:
            said += 1
            try:
                connection["client"].send(hello)
            except OSError:
                pass  # told of a former one
        for (name, _), listener in listeners.items():  # on which port is not known: it may be translated
            if name != target:
                continue
            try:
                data, peer = listener.recvfrom(256)
                if data == hello:
                    connection["server"], connection["peer"] = listener, peer
                    return peer
            except BlockingIOError:
                pass
        time.sleep(0.003)
    return None


def meet_stream(connection, hello, seconds):
    global newcomers
    newcomers, said = [], False
    heard.clear()
    until, looks = time.monotonic() + seconds, 0
    while (time.monotonic() < until or looks < EXCHANGE_LOOKS) and connection["server"] is None:
        looks += 1
        turn(0.003, {}, set())
        if not said:
            try:
                said = connection["client"].send(hello) > 0
            except OSError:
                pass  # not connected yet
        for newcomer in newcomers:
            if hears({"it": newcomer}, "it", hello):
                connection["server"] = newcomer
    for newcomer in newcomers:
        if newcomer is not connection["server"]:
            newcomer.close()
    newcomers = None
    return None if connection["server"] is None else connection["server"].getpeername()


def move(request):
    kept[request["id"]]["server"] = listeners[request["to"], request["port"]]
    return {}


def say(connection, who, word):
    try:
        if who == "server" and connection["udp"]:
            connection["server"].sendto(word, connection["peer"])
        else:
            connection[who].send(word)
    except OSError:
        pass


# Whether the word came. What else came is kept: others share the socket.
def hears(connection, who, word):
    sock = connection[who]
    try:
        while True:
            data = sock.recv(65536)
            heard[sock] = heard.get(sock, b"") + data
            if not data:
                break
    except OSError:
        pass
    return word in heard.get(sock, b"")


def exchange(request):
    global serial
    first = request.get("first", "client")
    second = "server" if first == "client" else "client"
    serial += 1
    heard.clear()
    stage = {}
    for number, name in enumerate(request["ids"]):
        connection = kept[name]
        word = b"<%d-%d>" % (serial, number)
        say(connection, first, word)
        stage[name] = [word, False]
    done = set()
    until, looks = time.monotonic() + request.get("waitMs", 1000) / 1000, 0
    while (time.monotonic() < until or looks < EXCHANGE_LOOKS) and len(done) < len(stage):
        looks += 1
        for name, state in stage.items():
            word, answered = state
            if name in done:
                continue
            if not answered and hears(kept[name], second, word):
                state[1] = True
                say(kept[name], second, word)
            elif answered and hears(kept[name], first, word):
                done.add(name)
        time.sleep(0.003)
    return {"alive": [name in done for name in request["ids"]]}


OPERATIONS = {"open": open_ends, "probe": probe, "connect": connect, "move": move, "exchange": exchange}
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(OPERATIONS[asked["op"]](asked)), flush=True)
