import concurrent.futures, queue, threading, time

total, lock = 0, threading.Lock()
def add():
    global total
    for _ in range(10000):
        with lock:
            total += 1
threads = [threading.Thread(target=add) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(total)
jobs, results = queue.Queue(), queue.Queue()
def work():
    while (item := jobs.get()) is not None:
        results.put(item * item)
workers = [threading.Thread(target=work) for _ in range(4)]
[w.start() for w in workers]
for i in range(100): jobs.put(i)
for _ in workers: jobs.put(None)
[w.join() for w in workers]
print(sum(results.get() for _ in range(100)))
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(list(pool.map(lambda x: (time.sleep(0.01), x + 1)[1], range(20))))
event, condition, barrier = threading.Event(), threading.Condition(), threading.Barrier(3)
order = []
def waiter(n):
    event.wait(); barrier.wait()
    with condition: order.append(n); condition.notify_all()
waiters = [threading.Thread(target=waiter, args=(i,)) for i in range(3)]
[w.start() for w in waiters]; event.set()
with condition: print(condition.wait_for(lambda: len(order) == 3, 5))
[w.join() for w in waiters]
timer = threading.Timer(0.05, lambda: print("timer")); timer.start(); timer.join()
print(threading.Semaphore(0).acquire(timeout=0.05), lock.acquire(timeout=1))
local = threading.local(); local.x = 1
t = threading.Thread(target=lambda: print(hasattr(local, "x"))); t.start(); t.join()
