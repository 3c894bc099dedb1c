# Numbered requests over UDP, 100 a second, each from a port of its own, so that a router spreads them over its next hops.
# argv: ADDRESS PORT. Says "ready" when the first answer has come, counts from the line "begin" on, and after the line "end", but not
# before AT_LEAST of them have been sent (so few that a next hop got none would tell nothing), prints
# {"sent": N, "lost": [numbers], "by": {name of the endpoint: answers}}. After the line "now" it prints the same of what it knows then,
# with "next", the number of the next request, and "waiting", those that may still be answered.
import json, os, select, socket, sys, time

address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
EVERY, LATE, AT_LEAST = 0.01, 2.0, 200
waiting, sockets, by = {}, {}, {}
number, first, last = 0, None, None
is_ready, lost = False, []
next_at = time.monotonic()
ends_at = None


def expire(now):
    for n, at in list(waiting.items()):
        if now - at > LATE:
            del waiting[n]
            sockets.pop(n).close()
            if first is not None and n >= first and (last is None or n < last):
                lost.append(n)


while True:
    now = time.monotonic()
    if ends_at is not None and now >= ends_at:
        break
    if last is not None and ends_at is None and number >= last:
        ends_at = now + LATE + 0.1
    if ends_at is None and now >= next_at:
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.setblocking(False)
        try:
            s.sendto(str(number).encode(), (address, port))
        except OSError:
            pass  # no route: as lost as any other
        waiting[number], sockets[number] = now, s
        number += 1
        next_at += EVERY
    looked_at = time.monotonic()  # this process may be kept waiting: what has arrived by now is not late
    timeout = max(0, (next_at if ends_at is None else ends_at) - looked_at)
    inputs = {s: n for n, s in sockets.items()}
    readable = select.select([*inputs, *([sys.stdin] if last is None else [])], [], [], timeout)[0]
    for each in readable:
        if each is sys.stdin:
            for line in os.read(0, 4096).decode().split():  # both may have come at once
                if line == "begin":
                    first = number
                elif line == "now":
                    counted = {"sent": number - (first or 0), "lost": sorted(lost), "by": by}
                    print(json.dumps({**counted, "next": number, "waiting": sorted(waiting)}), flush=True)
                else:
                    last = max(number, first + AT_LEAST)
            continue
        n = inputs[each]
        try:
            data = each.recv(2048).decode()
        except OSError:
            continue  # an ICMP error: not an answer
        sockets.pop(n).close()
        waiting.pop(n, None)
        if not is_ready:
            is_ready = True
            print("ready", flush=True)
        if first is not None and n >= first:
            name = data.split(" ")[0]
            by[name] = by.get(name, 0) + 1
    expire(looked_at)

expire(time.monotonic() + LATE)
print(json.dumps({"sent": last - (first or 0), "lost": sorted(lost), "by": by}), flush=True)
