# limit: 90
import multiprocessing, os
from multiprocessing import shared_memory

def square(x): return x * x
def child(connection): connection.send([os.getpid() != parent, connection.recv() * 2]); connection.close()
def bump(value, lock):
    for _ in range(200):
        with lock: value.value += 1
def put(queue, n): queue.put(n)
def fill(name):
    block = shared_memory.SharedMemory(name); block.buf[0] = 77; block.close()
parent = os.getpid()

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(3) as pool:
            print(method, pool.map(square, range(10)))
        a, b = context.Pipe()
        process = context.Process(target=child, args=(b,)); process.start(); a.send(21)
        print(a.recv()[1]); process.join(); print(process.exitcode)
        value, lock = context.Value("i", 0), context.Lock()
        processes = [context.Process(target=bump, args=(value, lock)) for _ in range(3)]
        [p.start() for p in processes]; [p.join() for p in processes]
        print(value.value)
        queue = context.Queue()
        processes = [context.Process(target=put, args=(queue, n)) for n in range(3)]
        [p.start() for p in processes]; print(sorted(queue.get() for _ in range(3))); [p.join() for p in processes]
    block = shared_memory.SharedMemory(create=True, size=100)
    process = multiprocessing.Process(target=fill, args=(block.name,)); process.start(); process.join()
    print(block.buf[0]); block.close(); block.unlink()
    import time; process = multiprocessing.Process(target=time.sleep, args=(100,)); process.start(); process.terminate(); process.join()
    print(process.exitcode)
