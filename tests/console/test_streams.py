from __future__ import annotations

import os
import threading

from console.streams import LineWriter


def test_lines_come_whole_and_in_order() -> None:
    source, sink = os.pipe()
    writer = LineWriter(sink)
    for number in range(200):
        writer.put(f"line {number} é \ud800")
    writer.close(10)
    os.close(sink)
    with open(source, encoding="utf-8") as reader:
        assert reader.read().splitlines() == [f"line {n} é \\ud800" for n in range(200)]


def test_a_reader_that_sleeps_holds_up_nobody_and_is_told_what_it_missed() -> None:
    source, sink = os.pipe()
    writer = LineWriter(sink)
    long = "x" * 1000
    for _ in range(10_500):  # ten megabytes: the pipe is full and so is the queue
        writer.put(long)
    lines: list[str] = []
    awake = threading.Event()

    def read() -> None:
        with open(source, encoding="utf-8") as reader:
            for line in reader:
                lines.append(line.rstrip("\n"))
                if len(lines) == 5_000:
                    awake.set()

    reading = threading.Thread(target=read)
    reading.start()
    assert awake.wait(60)
    writer.put("after")
    writer.close(60)
    os.close(sink)
    reading.join()
    left_out = [line for line in lines if "left out" in line]
    assert left_out and lines[-1] == "after"
    whole = sum(line == long for line in lines)
    assert sum(int(line.split()[1]) for line in left_out) == 10_500 - whole and whole >= 10_000


def test_a_reader_that_left_is_noticed_once() -> None:
    source, sink = os.pipe()
    gone = threading.Semaphore(0)
    writer = LineWriter(sink, gone.release)
    os.close(source)
    for _ in range(5):
        writer.put("anybody?")
    writer.close(10)
    assert gone.acquire(timeout=10) and not gone.acquire(blocking=False)
    os.close(sink)


def test_the_end_does_not_wait_for_a_reader_that_sleeps() -> None:
    _, sink = os.pipe()
    writer = LineWriter(sink)
    for _ in range(200):
        writer.put("x" * 1000)
    writer.close(0.01)
    assert any(t.name == "signaldeck-lines" and t.daemon for t in threading.enumerate())
