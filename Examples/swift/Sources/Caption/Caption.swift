// Captions a PNG or JPEG file without blocking the caller, and stops when the surrounding task is cancelled: Caption MODEL PICTURE
import Foundation
import ImageFiles
import Rudolph

/// Runs an actor on one thread, until the program ends: the OpenMP runtime keeps workers for each thread that runs tasks, and Swift's pool has many.
final class OneThread: SerialExecutor, @unchecked Sendable {
    private let condition = NSCondition()
    private var jobs: [UnownedJob] = []

    init() {
        Thread { [self] in while true { next().runSynchronously(on: asUnownedSerialExecutor()) } }.start()
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        condition.withLock { jobs.append(job) }
        condition.signal()
    }

    private func next() -> UnownedJob {
        condition.withLock {
            while jobs.isEmpty { condition.wait() }
            return jobs.removeFirst()
        }
    }
}

/// A session is for one caller at a time; an actor makes sure of that.
actor CaptionService {
    private let thread = OneThread()
    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private let captioner: Captioner
    private nonisolated let stop: StopFlag

    init(model path: String) throws {
        let session = try Session(Model(path: path))
        captioner = Captioner(session)
        stop = session.stop
    }

    func caption(_ image: RGBImage) async throws -> String {
        stop.lower()
        return try await withTaskCancellationHandler {
            try captioner.captions(of: image, .greedy).first?.text ?? ""
        } onCancel: {
            stop.raise()
        }
    }
}

@main
struct Caption {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else {
            print("usage: Caption MODEL PICTURE")
            return
        }
        let picture = try Picture(path: arguments[2])
        let image = try RGBImage(width: picture.width, height: picture.height, pixels: picture.pixels)
        print(try await CaptionService(model: arguments[1]).caption(image))
    }
}
