"""Somebody who means ill on the link of the uplink. Runs in a namespace of a test, at the other end of the cable.

answer INTERFACE                      answers every message of a DHCPv6 client at once, knowing its transaction, with all that
                                      is wrong; the real server answers too
servers INTERFACE MAC ADDRESS COUNT   sends the client COUNT messages of servers and routers that it never asked, from made-up
                                      senders, among them every malformed one
neighbours INTERFACE PREFIX COUNT     asks for COUNT addresses of the prefix, and says that it has them
"""
import random
import socket
import struct
import sys
import time

DEVICE = sys.argv[2]
WIRE = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
WIRE.bind((DEVICE, 0))
DICE = random.Random(20)
# A burst and then as long as it takes: so many frames a second.
PACE = 1500


def packed(text):
    return socket.inet_pton(socket.AF_INET6, text)


def mac():
    return bytes([2]) + DICE.randbytes(5)


def link_local():
    return packed("fe80::")[:8] + DICE.randbytes(8)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF) or 0xFFFF


def packet(to_mac, source, to, protocol, body, at, hops=255, from_mac=None, wrong=0):
    """An Ethernet frame; the checksum is at `at` in the body, and off by `wrong`."""
    pseudo = source + to + struct.pack("!II", len(body), protocol)
    right = checksum(pseudo + body) ^ wrong
    body = body[:at] + struct.pack("!H", right) + body[at + 2:]
    head = struct.pack("!IHBB", 6 << 28, len(body), protocol, hops)
    return to_mac + (from_mac or mac()) + b"\x86\xdd" + head + source + to + body


def dhcp(to_mac, to, message, source=None, ports=(547, 546), length=None, **more):
    head = struct.pack("!HHHH", *ports, len(message) + 8 if length is None else length, 0)
    return packet(to_mac, source or link_local(), to, 17, head + message, 6, **more)


def option(code, data):
    return struct.pack("!HH", code, len(data)) + data


def prefix(text, length, preferred=100, valid=200):
    return option(26, struct.pack("!IIB", preferred, valid, length) + packed(text))


def association(iaid, inner, t1=0, t2=0):
    return option(25, iaid + struct.pack("!II", t1, t2) + inner)


def wrong_answers(transaction, client, iaid):
    """Every answer that must not be believed, to a client whose question was heard."""
    server = option(2, b"\0\3\0\1" + mac())
    mine = option(1, client)
    granted = association(iaid, prefix("2001:db8:666::", 56))
    bodies = [
        option(1, client[:-1] + bytes([client[-1] ^ 1])) + server + granted,
        server + granted,
        mine + granted,
        mine + option(2, b"\0\3") + granted,
        mine + option(2, b"\0\2" + b"x" * 140) + granted,
        mine + server + server + granted,
        mine + server + option(25, iaid + b"\0" * 7),
        mine + server + association(iaid, option(26, b"\0" * 24)),
        mine + server + struct.pack("!HH", 25, 0xFFFF) + iaid,
        mine + server + association(iaid, prefix("2001:db8:666::", 56), 90, 80),
        mine + server + association(iaid, prefix("2001:db8:666::", 56, 300, 200)),
        mine + server + association(bytes(4), prefix("2001:db8:666::", 56)),
        mine + server + association(iaid, b"".join(prefix(f"2001:db8:{n:x}00::", 56) for n in range(1, 40))),
        mine + server + b"\xff" * 1200,
        mine + server + association(iaid, association(iaid, association(iaid, b"\0" * 900))),
    ]
    useless = [("2001:db8:666::", 129), ("2001:db8:666::", 255), ("2001:db8:666::", 65), ("::", 0), ("2000::", 3)]
    useless += [("fd00::", 56), ("ff00::", 56), ("fe80::", 64)]
    bodies += [mine + server + association(iaid, prefix(*it)) for it in useless]
    whole = mine + server + granted
    bodies += [whole[:length] for length in range(0, len(whole), 3)]
    return [bytes([kind]) + transaction + body for body in bodies for kind in (2, 7)]


def answer():
    ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
    ears.bind((DEVICE, 0))
    print("listens", flush=True)
    while True:
        frame, where = ears.recvfrom(2048)
        outgoing = where[2] == socket.PACKET_OUTGOING
        if outgoing or len(frame) < 70 or frame[20] != 17 or frame[56:58] != struct.pack("!H", 547):
            continue
        options, message = {}, frame[62:]
        rest = message[4:]
        while len(rest) >= 4:
            code, length = struct.unpack("!HH", rest[:4])
            options[code] = rest[4:4 + length]
            rest = rest[4 + length:]
        if 1 not in options or 25 not in options:
            continue
        for wrong in wrong_answers(message[1:4], options[1], options[25][:4]):
            WIRE.send(dhcp(frame[6:12], frame[22:38], wrong))
        print("answered", message[0], flush=True)


def advertisement(to_mac, options=b"", kind=134, code=0, source=None, **more):
    # It is no router itself (lifetime 0): who believes it has a prefix more, not another way out.
    body = struct.pack("!BBHBBHII", kind, code, 0, 64, 0, 0, 0, 0) + options
    to = packed("ff02::1")
    return packet(b"\x33\x33\0\0\0\1", source or link_local(), to, 58, body, 2, **more)


def prefix_information(text):
    return struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 1800, 0) + packed(text)


def strangers(to_mac, to):
    """Messages of servers and routers that are wrong whoever reads them, each in turn."""
    message = b"\7abc" + option(1, b"x" * 18) + option(2, b"\0\3\0\1" + mac()) + association(b"abcd", b"")
    good = prefix_information("2001:db8:dead::")
    yield from (dhcp(to_mac, to, message[:length]) for length in range(len(message)))
    yield from (dhcp(to_mac, to, bytes([kind]) + message[1:]) for kind in (0, 1, 3, 12, 13, 255))
    yield dhcp(to_mac, to, b"\xff" * 1400)
    yield dhcp(to_mac, to, message, source=packed("ff02::1"))
    yield dhcp(to_mac, to, message, source=packed("::1"))
    yield dhcp(to_mac, to, message, source=to)
    yield dhcp(to_mac, to, message, source=packed("::"))
    yield dhcp(to_mac, to, message, from_mac=to_mac)
    yield dhcp(to_mac, to, message, from_mac=b"\xff" * 6)
    yield dhcp(to_mac, to, message, ports=(547, 547))
    yield dhcp(to_mac, to, message, wrong=0x55)
    yield dhcp(to_mac, to, message, length=7)
    yield dhcp(to_mac, to, message, length=1400)
    yield dhcp(b"\xff" * 6, packed("ff02::1:2"), message)
    whole = dhcp(to_mac, to, message)
    yield from (whole[:length] for length in range(14, len(whole), 5))
    yield advertisement(to_mac, good, hops=64)
    yield advertisement(to_mac, good, wrong=1)
    yield advertisement(to_mac, good, code=3)
    yield advertisement(to_mac, good, source=packed("2001:db8:1::66"))
    yield advertisement(to_mac, good + b"\3\0" + b"x" * 6)
    yield advertisement(to_mac, good + b"\3\xff")
    yield advertisement(to_mac, good[:20])
    yield advertisement(to_mac, b"\x26\2" + b"\xff" * 14)
    whole = advertisement(to_mac, good)
    yield from (whole[:length] for length in range(14, len(whole), 5))


def paced(frames):
    sent, begun = 0, time.monotonic()
    for frame in frames:
        try:
            WIRE.send(frame)
        except OSError:
            # The other end has no room at the moment.
            time.sleep(0.01)
        sent += 1
        ahead = begun + sent / PACE - time.monotonic()
        if ahead > 0.02:
            time.sleep(ahead)
    print("sent", sent, flush=True)


def servers(to_mac, to, count):
    wrong = list(strangers(to_mac, to))
    for number in range(count):
        if number % 4 == 0:
            yield wrong[number // 4 % len(wrong)]
        elif number % 4 == 1:
            text = f"2001:db8:{DICE.randrange(1, 0xFFFF):x}:{DICE.randrange(0xFFFF):x}::"
            # Half of them from one sender, who is told apart from the others.
            more = {"from_mac": b"\2\0\0\0\0\x66"} if number % 8 == 1 else {}
            yield advertisement(to_mac, prefix_information(text), **more)
        else:
            answer = DICE.choice(b"\2\7").to_bytes(1, "big") + DICE.randbytes(3)
            granted = association(DICE.randbytes(4), prefix("2001:db8:666::", 56))
            yield dhcp(to_mac, to, answer + option(1, DICE.randbytes(18)) + option(2, DICE.randbytes(10)) + granted)


def neighbours(network, count):
    for number in range(count):
        target = packed(network)[:8] + DICE.randbytes(8)
        group = packed("ff02::1:ff00:0")[:13] + target[13:]
        asks, source = number % 4 != 3, link_local()
        to, to_mac = (group, b"\x33\x33\xff" + target[13:]) if asks else (packed("ff02::1"), b"\x33\x33\0\0\0\1")
        address = mac()
        body = struct.pack("!BBHI", 135 if asks else 136, 0, 0, 0 if asks else 0x20000000) + target
        body += struct.pack("!BB", 1 if asks else 2, 1) + address
        # Every tenth is malformed: truncated, from beyond the link, with an option of no length or a wrong sum.
        wrong, hops = (1, 255) if number % 40 == 0 else (0, 255)
        if number % 40 == 10:
            body = body[:12]
        elif number % 40 == 20:
            hops = 64
        elif number % 40 == 30:
            body += b"\1\0" + b"x" * 6
        yield packet(to_mac, source, to, 58, body, 2, hops=hops, from_mac=address, wrong=wrong)


if sys.argv[1] == "answer":
    answer()
elif sys.argv[1] == "servers":
    paced(servers(bytes.fromhex(sys.argv[3].replace(":", "")), packed(sys.argv[4]), int(sys.argv[5])))
else:
    paced(neighbours(sys.argv[3], int(sys.argv[4])))
