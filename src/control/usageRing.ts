/** The last samples of one sandbox, as bare numbers: as objects they would take three times the memory. */
export interface UsageSample {
  readonly atMs: number;
  /** Of one processor, since the sample before: two busy processors are 200. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly pids: number;
}

const numbersPerSample = 5;
const samplesAtFirst = 16;

export class UsageRing {
  readonly #samplesMax: number;
  #numbers = new Float64Array(numbersPerSample * samplesAtFirst);
  #count = 0;
  /** Where the oldest one stands. */
  #first = 0;

  constructor(samplesMax: number) {
    this.#samplesMax = samplesMax;
  }

  /** Where it is full, the oldest one goes. */
  push({ atMs, cpuPercent, memoryBytes, diskBytes, pids }: UsageSample): void {
    const place = this.#count < this.#samplesMax ? this.#count : this.#first;
    if (this.#count < this.#samplesMax) this.#count += 1;
    else this.#first = (this.#first + 1) % this.#samplesMax;
    if (place * numbersPerSample >= this.#numbers.length) this.#grow();
    this.#numbers.set([atMs, cpuPercent, memoryBytes, diskBytes, pids], place * numbersPerSample);
  }

  #grow(): void {
    const wider = new Float64Array(Math.min(this.#numbers.length * 2, this.#samplesMax * numbersPerSample));
    wider.set(this.#numbers);
    this.#numbers = wider;
  }

  /** Oldest first. */
  list(): UsageSample[] {
    const numbers = this.#numbers;
    return Array.from({ length: this.#count }, (_, index) => {
      const from = ((this.#first + index) % this.#samplesMax) * numbersPerSample;
      return {
        atMs: numbers[from] ?? 0,
        cpuPercent: numbers[from + 1] ?? 0,
        memoryBytes: numbers[from + 2] ?? 0,
        diskBytes: numbers[from + 3] ?? 0,
        pids: numbers[from + 4] ?? 0,
      };
    });
  }
}
