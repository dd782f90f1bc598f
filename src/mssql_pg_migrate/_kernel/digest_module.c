/* The Python face of digest.c: argument checks, the GIL, and the loop that takes COPY data from libpq. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "digest.h"

/* PQgetCopyData and PQfreemem of the libpq that the connection belongs to; psycopg brings its own, so that this module
 * is not linked with one but told where they are. */
typedef int (*get_copy_data)(void *connection, char **buffer, int async);
typedef void (*free_memory)(void *memory);

enum pump_status { PUMP_MORE, PUMP_END, PUMP_STOPPED, PUMP_FAILED, PUMP_MALFORMED, PUMP_MEMORY };

typedef struct {
    PyObject_HEAD
    dg *core;
    uint8_t *rest; /* the beginning of a tuple that came in pieces */
    size_t rest_size;
    size_t rest_capacity;
    int busy; /* a thread is inside without the GIL */
} Digest;

static PyObject *digest_busy(void)
{
    PyErr_SetString(PyExc_RuntimeError, "this Digest is in use by another thread");
    return NULL;
}

#define ENTER(self)                                                                                                    \
    if ((self)->busy)                                                                                                  \
    return digest_busy()

static PyObject *digest_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"kinds", "roles", "key", "bits", "header", NULL};
    Py_buffer kinds, roles, key;
    int bits, header = 0;
    Digest *self = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*y*y*i|p", names, &kinds, &roles, &key, &bits, &header))
        return NULL;
    if (kinds.len != roles.len || kinds.len > DG_MAX_COLUMNS || key.len != DG_KEY_BYTES || bits < 0 || bits > DG_MAX_BITS) {
        PyErr_SetString(PyExc_ValueError, "kinds and roles must be of one length, the key of 40 bytes, bits 0 to 20");
    } else if ((self = (Digest *)type->tp_alloc(type, 0))) {
        for (Py_ssize_t i = 0; i < kinds.len; i++)
            if (((uint8_t *)kinds.buf)[i] >= DG_KINDS || ((uint8_t *)roles.buf)[i] >= DG_ROLES) {
                PyErr_SetString(PyExc_ValueError, "a kind or role is unknown");
                Py_CLEAR(self);
                break;
            }
        if (self && !(self->core = dg_new(kinds.buf, roles.buf, (int)kinds.len, key.buf, bits, header))) {
            PyErr_NoMemory();
            Py_CLEAR(self);
        }
    }
    PyBuffer_Release(&kinds);
    PyBuffer_Release(&roles);
    PyBuffer_Release(&key);
    return (PyObject *)self;
}

static void digest_dealloc(Digest *self)
{
    PyTypeObject *type = Py_TYPE(self);
    dg_free(self->core);
    free(self->rest);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *raise_malformed(Digest *self)
{
    int column;
    int64_t detail;
    int fault = dg_fault_at(self->core, &column, &detail);
    PyObject *reason = Py_BuildValue("(iiL)", fault, column, (long long)detail);
    if (reason)
        PyErr_SetObject(PyExc_ValueError, reason);
    Py_XDECREF(reason);
    return NULL;
}

static PyObject *digest_update(Digest *self, PyObject *argument)
{
    Py_buffer data;
    size_t used = 0;
    int status;
    ENTER(self);
    if (PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    status = dg_update(self->core, data.buf, (size_t)data.len, &used);
    Py_END_ALLOW_THREADS
    self->busy = 0;
    PyBuffer_Release(&data);
    if (status == DG_MALFORMED)
        return raise_malformed(self);
    if (status == DG_MEMORY)
        return PyErr_NoMemory();
    return Py_BuildValue("(nO)", (Py_ssize_t)used, status == DG_END ? Py_True : Py_False);
}

/* Keep the bytes behind the last whole tuple; 0 when there is no memory. */
static int keep(Digest *self, const uint8_t *data, size_t size)
{
    if (self->rest_capacity - self->rest_size < size) {
        size_t capacity = self->rest_size + size + (self->rest_size + size) / 2;
        uint8_t *grown = realloc(self->rest, capacity);
        if (!grown)
            return 0;
        self->rest = grown;
        self->rest_capacity = capacity;
    }
    memcpy(self->rest + self->rest_size, data, size);
    self->rest_size += size;
    return 1;
}

/* Digest one message: as it lies when nothing is kept, else joined to what is. Without the GIL. */
static int digest_message(Digest *self, const uint8_t *data, size_t size)
{
    size_t used = 0;
    int status;
    if (self->rest_size == 0) {
        status = dg_update(self->core, data, size, &used);
        if (status == DG_MORE && used < size && !keep(self, data + used, size - used))
            return DG_MEMORY;
        return status;
    }
    if (!keep(self, data, size))
        return DG_MEMORY;
    status = dg_update(self->core, self->rest, self->rest_size, &used);
    if (status == DG_MORE && used) {
        memmove(self->rest, self->rest + used, self->rest_size - used);
        self->rest_size -= used;
    }
    return status;
}

static int pump(Digest *self, void *connection, get_copy_data get, free_memory release, size_t max_bytes)
{
    size_t taken = 0;
    while (taken < max_bytes) {
        char *message = NULL;
        int size = get(connection, &message, 0);
        int status;
        if (size <= 0)
            return size == -2 ? PUMP_FAILED : PUMP_STOPPED;
        status = digest_message(self, (const uint8_t *)message, (size_t)size);
        release(message);
        if (status == DG_END)
            return PUMP_END;
        if (status != DG_MORE)
            return status == DG_MALFORMED ? PUMP_MALFORMED : PUMP_MEMORY;
        taken += (size_t)size;
    }
    return PUMP_MORE;
}

static PyObject *digest_pump(Digest *self, PyObject *args)
{
    unsigned long long connection, get, release;
    Py_ssize_t max_bytes;
    int status;
    ENTER(self);
    if (!PyArg_ParseTuple(args, "KKKn", &connection, &get, &release, &max_bytes))
        return NULL;
    if (!connection || !get || !release || max_bytes < 1) {
        PyErr_SetString(PyExc_ValueError, "an argument is out of range");
        return NULL;
    }
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    status = pump(self, (void *)(uintptr_t)connection, (get_copy_data)(uintptr_t)get,
                  (free_memory)(uintptr_t)release, (size_t)max_bytes);
    Py_END_ALLOW_THREADS
    self->busy = 0;
    if (status == PUMP_MALFORMED)
        return raise_malformed(self);
    if (status == PUMP_MEMORY)
        return PyErr_NoMemory();
    return PyLong_FromLong(status);
}

static PyObject *choose(Digest *self, PyObject *argument, int (*with)(dg *, const uint8_t *))
{
    Py_buffer bitmap;
    size_t count;
    int done;
    ENTER(self);
    if (PyObject_GetBuffer(argument, &bitmap, PyBUF_SIMPLE) < 0)
        return NULL;
    dg_buckets(self->core, &count);
    if ((size_t)bitmap.len != (count + 7) / 8) {
        PyBuffer_Release(&bitmap);
        PyErr_SetString(PyExc_ValueError, "the bitmap must have a bit per bucket");
        return NULL;
    }
    done = with(self->core, bitmap.buf);
    PyBuffer_Release(&bitmap);
    if (!done)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *digest_select(Digest *self, PyObject *bitmap) { return choose(self, bitmap, dg_select); }

static PyObject *digest_keep(Digest *self, PyObject *bitmap) { return choose(self, bitmap, dg_keep); }

static PyObject *digest_kept(Digest *self, PyObject *unused)
{
    size_t size;
    uint64_t rows;
    const uint8_t *data;
    PyObject *result;
    (void)unused;
    ENTER(self);
    data = dg_kept(self->core, &size, &rows);
    result = Py_BuildValue("(y#K)", data ? (const char *)data : "", (Py_ssize_t)size, (unsigned long long)rows);
    if (result)
        dg_forget_listed(self->core);
    return result;
}

static PyObject *digest_take(Digest *self, PyObject *unused)
{
    size_t size, at = 0;
    const uint8_t *data;
    PyObject *records;
    (void)unused;
    ENTER(self);
    data = dg_listed(self->core, &size);
    records = PyList_New(0);
    while (records && at < size) {
        uint32_t length = (uint32_t)data[at] | (uint32_t)data[at + 1] << 8 | (uint32_t)data[at + 2] << 16 |
                          (uint32_t)data[at + 3] << 24;
        PyObject *record = PyBytes_FromStringAndSize((const char *)data + at + 4, (Py_ssize_t)length);
        if (!record || PyList_Append(records, record) < 0)
            Py_CLEAR(records);
        Py_XDECREF(record);
        at += 4 + (size_t)length;
    }
    if (records)
        dg_forget_listed(self->core);
    return records;
}

static PyObject *digest_buckets(Digest *self, PyObject *unused)
{
    size_t count;
    const dg_bucket *buckets;
    (void)unused;
    ENTER(self);
    buckets = dg_buckets(self->core, &count);
    return PyBytes_FromStringAndSize((const char *)buckets, (Py_ssize_t)(count * sizeof *buckets));
}

static PyObject *digest_rows(Digest *self, void *closure)
{
    (void)closure;
    ENTER(self);
    return PyLong_FromUnsignedLongLong(dg_rows(self->core));
}

static PyMethodDef digest_methods[] = {
    {"update", (PyCFunction)digest_update, METH_O,
     "update(data): digest the whole tuples at its beginning; (bytes used, whether the trailer was met)."},
    {"pump", (PyCFunction)digest_pump, METH_VARARGS,
     "pump(connection, PQgetCopyData, PQfreemem, max_bytes): digest what a COPY TO STDOUT sends; a status."},
    {"select", (PyCFunction)digest_select, METH_O,
     "select(bitmap): list the rows of these buckets from now on instead of adding rows up."},
    {"keep", (PyCFunction)digest_keep, METH_O,
     "keep(bitmap): keep the tuples of these buckets from now on instead of adding rows up."},
    {"kept", (PyCFunction)digest_kept, METH_NOARGS, "kept(): tuples kept since the last call, and how many."},
    {"take", (PyCFunction)digest_take, METH_NOARGS, "take(): the records listed since the last call."},
    {"buckets", (PyCFunction)digest_buckets, METH_NOARGS, "buckets(): low, high, count of each as native uint64."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef digest_getset[] = {
    {"rows", (getter)digest_rows, NULL, "Rows digested.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot digest_slots[] = {
    {Py_tp_doc, "Digest(kinds, roles, key, bits, header=False)"},
    {Py_tp_new, digest_new},
    {Py_tp_dealloc, digest_dealloc},
    {Py_tp_methods, digest_methods},
    {Py_tp_getset, digest_getset},
    {0, NULL},
};

static PyType_Spec digest_spec = {
    .name = "mssql_pg_migrate._kernel._digest.Digest",
    .basicsize = sizeof(Digest),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = digest_slots,
};

static int module_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &digest_spec, NULL);
    int added;
    if (!type)
        return -1;
    added = PyModule_AddObjectRef(module, "Digest", type);
    Py_DECREF(type);
    return added < 0 || PyModule_AddIntConstant(module, "MORE", PUMP_MORE) < 0 ||
                   PyModule_AddIntConstant(module, "END", PUMP_END) < 0 ||
                   PyModule_AddIntConstant(module, "STOPPED", PUMP_STOPPED) < 0 ||
                   PyModule_AddIntConstant(module, "FAILED", PUMP_FAILED) < 0
               ? -1
               : 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_digest",
    .m_doc = "Digests of COPY BINARY tuples.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__digest(void) { return PyModuleDef_Init(&module_def); }
