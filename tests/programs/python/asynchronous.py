import asyncio, os, signal

async def echo(reader, writer):
    writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()

async def main():
    print(await asyncio.gather(*(asyncio.sleep(0.01 * (3 - i), i) for i in range(3))))
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.05)
    except asyncio.TimeoutError:
        print("timeout")
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await process.communicate(b"through cat"), process.returncode)
    process = await asyncio.create_subprocess_shell("exit 4"); print(await process.wait())
    server = await asyncio.start_unix_server(echo, "sock")
    for _ in range(5):
        reader, writer = await asyncio.open_unix_connection("sock")
        writer.write(b"hello\n"); print(await reader.readline()); writer.close()
    server.close(); await server.wait_closed()
    loop, got = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, got.set); os.kill(os.getpid(), signal.SIGUSR1); await got.wait(); print("signal")
    print(await loop.run_in_executor(None, sum, range(1000)), await asyncio.to_thread(lambda: 42))
    r, w = os.pipe(); ready = asyncio.Event(); loop.add_reader(r, ready.set); os.write(w, b"x"); await ready.wait(); loop.remove_reader(r); print("reader")
    queue = asyncio.Queue(2)
    async def produce():
        for i in range(10): await queue.put(i)
    task = asyncio.create_task(produce()); print([await queue.get() for _ in range(10)]); await task

asyncio.run(main())
