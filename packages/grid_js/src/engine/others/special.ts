/** Functions of one number that neither WebAssembly nor browsers have: loaded with the operations that need them. */

const TWO_OVER_SQRT_PI = 1.1283791670955126;

/** The polynomial with these coefficients, the constant first. */
function poly(x: number, ...c: readonly number[]): number {
  let sum = 0;
  for (let i = c.length - 1; i >= 0; i--) sum = sum * x + c[i]!;
  return sum;
}

/** The error function and its complement, by the rational approximations of Sun's fdlibm (s_erf.c). */
function erfc(x: number, complement: boolean): number {
  const a = Math.abs(x);
  if (Number.isNaN(x)) return x;
  if (a < 0.84375) {
    const z = x * x;
    const y = poly(z, 1.28379167095512558561e-1, -3.25042107247001499370e-1, -2.84817495755985104766e-2, -5.77027029648944159157e-3, -2.37630166566501626084e-5)
      / poly(z, 1, 3.97917223959155352819e-1, 6.50222499887672944485e-2, 5.08130628187576562776e-3, 1.32494738004321644526e-4, -3.96022827877536812320e-6);
    if (!complement) return x + x * y;
    return x < 0.25 ? 1 - (x + x * y) : 0.5 - (x - 0.5 + x * y);
  }
  let rest: number; // erfc(a)
  if (a < 1.25) {
    const s = a - 1, erx = 8.45062911510467529297e-1;
    const p = poly(s, -2.36211856075265944077e-3, 4.14856118683748331666e-1, -3.72207876035701323847e-1, 3.18346619901161753674e-1, -1.10894694282396677476e-1, 3.54783043256182359371e-2, -2.16637559486879084300e-3)
      / poly(s, 1, 1.06420880400844228286e-1, 5.40397917702171048937e-1, 7.18286544141962662868e-2, 1.26171219808761642112e-1, 1.36370839120290507362e-2, 1.19844998467991074170e-2);
    if (!complement) return x > 0 ? erx + p : -erx - p;
    return x > 0 ? 1 - erx - p : 1 + (erx + p);
  }
  if (a >= 28) rest = 0;
  else {
    const s = 1 / (a * a);
    const r = a < 1 / 0.35
      ? poly(s, -9.86494403484714822705e-3, -6.93858572707181764372e-1, -1.05586262253232909814e1, -6.23753324503260060396e1, -1.62396669462573470355e2, -1.84605092906711035994e2, -8.12874355063065934246e1, -9.81432934416914548592)
        / poly(s, 1, 1.96512716674392571292e1, 1.37657754143519042600e2, 4.34565877475229228821e2, 6.45387271733267880336e2, 4.29008140027567833386e2, 1.08635005541779435134e2, 6.57024977031928170135, -6.04244152148580987438e-2)
      : poly(s, -9.86494292470009928597e-3, -7.99283237680523006574e-1, -1.77579549177547519889e1, -1.60636384855821916062e2, -6.37566443368389627722e2, -1.02509513161107724954e3, -4.83519191608651397019e2)
        / poly(s, 1, 3.03380607434824582924e1, 3.25792512996573918826e2, 1.53672958608443695994e3, 3.19985821950859553908e3, 2.55305040643316442583e3, 4.74528541206955367215e2, -2.24409524465858183362e1);
    const z = Math.fround(a);
    rest = (Math.exp(-z * z - 0.5625) * Math.exp((z - a) * (z + a) + r)) / a;
  }
  if (complement) return x > 0 ? rest : 2 - rest;
  return x > 0 ? 1 - rest : rest - 1;
}

const erf = (x: number): number => erfc(x, false);

/** Where erf is y: an approximation (Giles, 2012), and Newton's steps on the side that keeps the digits. */
function erfinv(y: number): number {
  const a = Math.abs(y);
  if (!(a < 1)) return a === 1 ? y * Infinity : NaN;
  let w = -Math.log((1 - a) * (1 + a));
  let x: number;
  if (w < 5) {
    w -= 2.5;
    x = poly(w, 1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-6, -3.5233877e-6, 3.43273939e-7, 2.81022636e-8);
  } else {
    w = Math.sqrt(w) - 3;
    x = poly(w, 2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844, 0.00134934322, 0.000100950558, -0.000200214257);
  }
  x *= a;
  for (let i = 0; i < 3; i++) x += (erfc(x, true) - (1 - a)) / (TWO_OVER_SQRT_PI * Math.exp(-x * x));
  return y < 0 ? -x : x;
}

/** log |Γ(x)|: Stirling's series from 12 on. */
function lgamma(x: number): number {
  if (Number.isNaN(x)) return x;
  if (!Number.isFinite(x) || (x <= 0 && Number.isInteger(x))) return Infinity;
  if (x < 0.5) return Math.log(Math.PI / Math.abs(Math.sin(Math.PI * (x - Math.round(x))))) - lgamma(1 - x);
  if (x === 1 || x === 2) return 0;
  let shift = 1;
  while (x < 12) shift *= x++;
  const r = 1 / (x * x);
  const series = poly(r, 1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156) / x;
  return (x - 0.5) * Math.log(x) - x + 0.9189385332046727 + series - Math.log(shift);
}

function digamma(x: number): number {
  if (x === 0) return Object.is(x, -0) ? Infinity : -Infinity;
  if (x < 0) {
    if (Number.isInteger(x) || x === -Infinity) return NaN;
    return digamma(1 - x) - Math.PI / Math.tan(Math.PI * (x - Math.trunc(x)));
  }
  let sum = 0;
  while (x < 12) sum -= 1 / x++;
  const r = 1 / (x * x);
  return sum + Math.log(x) - 0.5 / x - r * poly(r, 1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12);
}

/** By the names of {@link BY_NUMBER}. */
export const SPECIAL: Readonly<Record<string, (x: number) => number>> = { erf, erfc: (x) => erfc(x, true), erfinv, lgamma, digamma };
