/// A possible merge of the piece at `position` with the one after it.
struct Merge {
    let rule: Int
    let position: Int

    /// Earlier rules first, then from left to right.
    func precedes(_ other: Merge) -> Bool {
        rule < other.rule || (rule == other.rule && position < other.position)
    }
}

/// A binary heap of merges, the most urgent one on top.
struct MergeQueue {
    private var heap: [Merge] = []

    mutating func push(_ merge: Merge) {
        heap.append(merge)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard merge.precedes(heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = merge
    }

    mutating func pop() -> Merge? {
        guard let last = heap.popLast() else { return nil }
        guard let top = heap.first else { return last }
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
            guard heap[child].precedes(last) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = last
        return top
    }
}
